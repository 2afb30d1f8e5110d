"""What is computed: networks, noise, optimisers, and how the methods are configured."""
