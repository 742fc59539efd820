"""What crosses processes, and what all wings stand on; it imports nothing of ours.

Everybody uses all of it: the messages between the two halves (`messages`), a trial's `recipe`, the
`objective`, every path under runs/ (`folders`), atomic `files`, the best weights (`bests`), the
error tree (`errors`), wording for wrong settings (`problems`), and seeds that derive from seeds
(`seeds`).
"""
