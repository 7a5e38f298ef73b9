"""A simulated shop, so that a newcomer sees the product alive in a minute.

In: a source of chance, the time. Out: requests as browsers and a shop's backend would send them (`visits.py`), really
sent (`sender.py`). Promise: nobody in it exists; addresses and domains are those set aside for documentation.
"""
