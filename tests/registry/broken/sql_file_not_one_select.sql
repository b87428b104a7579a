DROP TABLE raw.events
