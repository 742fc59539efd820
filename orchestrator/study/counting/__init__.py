"""Which trials count, and as what: in a space that has grown, and without those ignored."""
