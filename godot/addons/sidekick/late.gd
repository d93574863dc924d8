extends Node
## Runs last in every physics tick, so that one tick's records make one batch.

var work := Callable()
var _broken_told := false


func _physics_process(_delta: float) -> void:
	work.call()


## A main scene whose script does not parse leaves an engine that ticks and does nothing. That is no play: sidekick must be
## told nothing more, so that it counts the start as failed.
func main_scene_is_broken() -> bool:
	var scene := get_tree().current_scene
	if scene == null or scene.get_script() != null or scene.scene_file_path == "":
		return false
	# The node of such a scene has lost its script; the scene file still names it.
	var state: SceneState = load(scene.scene_file_path).get_state()
	var broken := false
	for number in state.get_node_property_count(0):
		if state.get_node_property_name(0, number) == &"script":
			var script: Variant = state.get_node_property_value(0, number)
			broken = not (script is Script and script.can_instantiate())
	if broken and not _broken_told:
		_broken_told = true
		push_error("Sidekick: the script of the main scene cannot run; this start has failed")
	return broken
