"""What sources that speak of Modbus registers share: addresses, formats, and tags that name them."""
