"""One reader for each kind of manifest file: text, tables, JSON, YAML, Parquet and spreadsheets."""
