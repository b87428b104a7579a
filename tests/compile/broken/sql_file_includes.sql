SELECT k, ts FROM {{ events }}
{% include "other.sql" %}
