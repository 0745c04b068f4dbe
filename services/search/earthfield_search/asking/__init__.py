"""Questions of likeness: what is looked for, where, and what was found."""
