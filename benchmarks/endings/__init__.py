"""Thousands of connections and requests end in every way there is: is every count zero then?"""
