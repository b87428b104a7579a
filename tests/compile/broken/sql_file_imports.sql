{% from "macros.sql" import clean %}
SELECT k, ts FROM {{ events }}
