//! A small transport stream reader: it checks what it reads and gives the AAC frames.
