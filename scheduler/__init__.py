"""Our luigid: luigi's own server and page, with a scheduler whose answer takes as long for 5,000 tasks as for 200."""
