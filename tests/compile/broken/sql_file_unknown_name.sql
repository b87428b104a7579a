SELECT k, ts
FROM
  {{ payments }}
