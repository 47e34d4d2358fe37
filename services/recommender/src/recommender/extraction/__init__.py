"""Reading what content teams upload: text out of files, rows out of CSV and NDJSON, passages out of text."""
