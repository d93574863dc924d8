extends Node
## Runs last in every physics tick, so that one tick's records make one batch.

var work := Callable()


func _physics_process(_delta: float) -> void:
	work.call()
