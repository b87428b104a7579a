SELECT k,
  ts
FRM {{ events }} WHERE (
