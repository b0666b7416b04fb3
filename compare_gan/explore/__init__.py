"""A local page on which the images of a generator are explored.

`views` draws what the page asks for, `server` answers its requests, and page.html, page.css and page.js are
the page.
"""
