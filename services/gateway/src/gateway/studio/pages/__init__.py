"""The studio's pages, one module each: parse, ask the desk, render."""
