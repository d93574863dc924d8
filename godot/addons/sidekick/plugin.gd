@tool
extends EditorPlugin
## Adds the autoload `Sidekick` while the plugin is enabled.


func _enter_tree() -> void:
	add_autoload_singleton("Sidekick", "res://addons/sidekick/sidekick.gd")


func _exit_tree() -> void:
	remove_autoload_singleton("Sidekick")
