"""The studio: the web application at `/studio` in which the content team works."""
