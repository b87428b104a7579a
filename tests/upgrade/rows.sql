CREATE SCHEMA raw;
CREATE TABLE raw.people AS SELECT i::BIGINT AS user_id, 'user ' || i AS name FROM range(5) AS r(i);
CREATE TABLE raw.payments AS
SELECT (i * 7919 % 5)::BIGINT AS user_id,
    TIMESTAMP '2024-01-01' + INTERVAL (i * 613) SECOND AS paid_at,
    (i * 31 % 17 - 3)::BIGINT AS items,
    (i * 37 % 101) / 4.0::DOUBLE AS amount,
    ((i * 41 % 1009) / 100)::DECIMAL(10, 2) AS price,
    ['DE', 'NO', NULL, 'PL'][1 + i % 4] AS country
FROM range(560) AS r(i);
