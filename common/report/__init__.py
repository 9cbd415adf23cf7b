"""Tables, figures and the page, from the records."""
