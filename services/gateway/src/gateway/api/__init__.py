"""The routes of the public contract, a module for each noun; every route is declared beside its view."""
