SELECT k,
  ts,
  nothing_of_this_name
FROM {{ events }}
