SELECT k, ts
FROM {{ 1 + events }}
