"""`foreword sync`: what a website publishes, read from its feed or sitemap and kept as assets."""
