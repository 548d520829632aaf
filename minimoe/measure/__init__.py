"""What does it cost, and what did the router do?"""
