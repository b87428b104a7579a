-- The raw tables of a shop in March 2013. Times are in UTC unless a comment says otherwise.
CREATE SCHEMA IF NOT EXISTS raw;

-- Payments come later than their orders: 8 hours later for order 2, a day later for order 3.
CREATE OR REPLACE TABLE raw.orders AS
FROM (VALUES
  (1::BIGINT, 7::BIGINT, 'book', TIMESTAMP '2013-03-10 00:10'),
  (2, 7, 'lamp', '2013-03-10 00:58'),
  (3, 8, 'book', '2013-03-10 05:30')
) AS t(order_id, user_id, category, ordered_at);
CREATE OR REPLACE TABLE raw.payments AS
FROM (VALUES
  (1::BIGINT, TIMESTAMP '2013-03-10 00:12', 10::BIGINT),
  (2, '2013-03-10 09:02', 20),
  (3, '2013-03-11 06:00', 40)
) AS t(order_id, paid_at, amount);

-- `valid_to` is null for the current price. The lamp is no longer sold after its last price.
CREATE OR REPLACE TABLE raw.prices AS
FROM (VALUES
  ('book', 12::BIGINT, TIMESTAMP '2013-03-09 00:00', TIMESTAMP '2013-03-10 12:00'),
  ('book', 15, '2013-03-10 12:00', NULL),
  ('lamp', 80, '2013-03-09 06:00', '2013-03-11 18:00')
) AS t(product, price, valid_from, valid_to);

-- Each till writes its local time. In New York, clocks were set from 02:00 to 03:00 on 10 March.
CREATE OR REPLACE TABLE raw.visits AS
FROM (VALUES
  ('ginza', 'Asia/Tokyo', TIMESTAMP '2013-03-10 10:10'),
  ('ginza', 'Asia/Tokyo', '2013-03-10 10:50'),
  ('soho', 'America/New_York', '2013-03-10 01:30'),
  ('soho', 'America/New_York', '2013-03-10 03:30')
) AS t(store, zone, local_ts);

-- Each door writes the time of an opening as seconds since 1970.
CREATE OR REPLACE TABLE raw.openings AS
SELECT store, epoch(opened)::BIGINT AS opened_at
FROM (VALUES
  ('ginza', TIMESTAMP '2013-03-10 01:05'),
  ('soho', '2013-03-10 06:20'),
  ('soho', '2013-03-10 07:20')
) AS t(store, opened);

-- Phones send their clicks when they are connected to a network.
CREATE OR REPLACE TABLE raw.clicks AS
FROM (VALUES
  (7::BIGINT, TIMESTAMP '2013-03-10 01:10', TIMESTAMP '2013-03-10 01:20'),
  (7, '2013-03-10 01:50', '2013-03-10 07:50'),
  (7, '2013-03-10 02:00', '2013-03-10 02:00'),
  (8, '2013-03-10 01:30', '2013-03-10 19:30')
) AS t(user_id, happened_at, loaded_at);
