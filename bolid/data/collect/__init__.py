"""`bolid data collect`: photos of people from gallery sites and lists of addresses, by Scrapy."""
