"""Which target customers who have never bought this product will buy it next."""
