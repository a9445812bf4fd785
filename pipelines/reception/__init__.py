"""The reception: who may come in by the web door, and what they are answered. The pages (`portal.web`) have nothing."""
