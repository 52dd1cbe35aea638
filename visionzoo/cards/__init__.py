"""Model cards: one Markdown file per released config, with facts that are checked automatically.

Reading a card imports no torch. ``visionzoo.cards.verify`` builds the model of a card and compares it with the card.
"""

from visionzoo.cards.files import Card, card_folder, card_names, find_card, read_card, read_cards

__all__ = ["Card", "card_folder", "card_names", "find_card", "read_card", "read_cards"]
