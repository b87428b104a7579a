{% extends "base.sql" %}
