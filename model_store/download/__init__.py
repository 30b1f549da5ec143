"""Published files, fetched and checked: manifest, web, page, part, progress, download, hashes."""
