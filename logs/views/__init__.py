"""The pages: each view reads what is asked, and renders it or a part of it."""
