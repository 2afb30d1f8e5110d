"""What every room of the results uses: errors, texts and numbers for people, files written whole."""
