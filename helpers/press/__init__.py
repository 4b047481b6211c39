"""How an edition becomes executed pages and a site; pages do not use it."""
