"""Model cards: one Markdown file per released config, which people read and machines check.

Reading a card imports no torch. ``visionzoo.cards.verify`` builds what a card describes and compares.
"""

from visionzoo.cards.files import Card, card_folder, card_names, find_card, read_card, read_cards

__all__ = ["Card", "card_folder", "card_names", "find_card", "read_card", "read_cards"]
