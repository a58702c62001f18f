"""graphql-core's tests that say nothing of our executor, by reason: a file, a `describe_...` in it, or one test."""

_BASICS = "execution/test_executor.py::describe_execute_handles_basic_execution_tasks"
_SUBSCRIBE = "execution/test_subscribe.py::describe_subscription"
_SYNC = "execution/test_sync.py::describe_execute_synchronously_when_possible"

NOT_APPLICABLE = {
    "Incremental delivery: our schema has neither @defer nor @stream, so validation refuses them.": (
        "execution/incremental",
        "execution/test_executor_throwing_on_incremental.py",
        "execution/test_executor.py::describe_base_executor_without_incremental_delivery",
        f"{_BASICS}::errors_when_using_original_execute_with_schemas_including_experimental_defer",
        f"{_BASICS}::errors_when_using_original_execute_with_schemas_including_experimental_stream",
        "execution/test_mutations.py::describe_execute_handles_mutation_execution_ordering"
        "::mutation_fields_with_defer_do_not_block_next_mutation",
        "execution/test_mutations.py::describe_execute_handles_mutation_execution_ordering"
        "::mutation_with_defer_is_not_executed_serially",
        f"{_SUBSCRIBE}_publish_phase::subscribe_function_returns_errors_with_defer",
        f"{_SUBSCRIBE}_publish_phase::subscribe_function_returns_errors_with_stream",
        f"{_SYNC}::describe_execute_sync::throws_if_encountering_async_iterable_execution_with_check_sync",
        f"{_SYNC}::describe_execute_sync::throws_if_encountering_async_iterable_execution_without_check_sync",
        "execution/test_too_deeply_nested_selections.py::describe_too_deeply_nested_selections_at_the_root"
        "::experimental_execute_incrementally_returns_a_result_with_the_error",
    ),
    "Abort signals: an operation is ended by cancelling its task.": (
        "execution/test_cancellation.py",
        "execution/test_aborted_graphql_execution_error.py",
    ),
    "Hooks, middleware, and classes, resolvers, limits or predicates of the caller's own: ours takes none.": (
        "execution/test_hooks.py",
        "execution/test_middleware.py",
        "execution/test_customize.py",
        f"{_BASICS}::uses_a_custom_field_resolver",
        f"{_BASICS}::uses_a_custom_type_resolver",
        f"{_BASICS}::uses_a_different_number_of_max_coercion_errors",
        "execution/test_lists.py::describe_execute_accepts_async_iterables_as_list_value"
        "::can_customize_detection_of_async_iterables",
        "type/test_introspection.py::describe_introspection"
        "::executes_introspection_query_without_calling_global_resolvers",
        "execution/test_variables.py::describe_execute_handles_inputs::describe_handles_objects_and_nullability"
        "::describe_using_variables::hides_suggestions_for_invalid_default_values_when_specified",
    ),
    "Parts of graphql-core by themselves, which our executor uses as they are or not at all.": (
        "execution/test_collect_fields.py",
        "execution/test_execution_result.py",
        "execution/test_map_async_iterable.py",
        f"{_BASICS}::executes_the_root_selection_set_of_a_built_executor",
        f"{_BASICS}::memoizes_collect_subfields_results",
        f"{_BASICS}::retains_memoization_keys_until_execution_finishes",
        f"{_SUBSCRIBE}_initialization_phase::throws_for_legacy_execution_args_passed_to_create_source_event_stream",
        f"{_SUBSCRIBE}_initialization_phase::maps_a_source_stream_with_a_custom_root_selection_set_executor",
        "execution/test_too_deeply_nested_selections.py::describe_too_deeply_nested_selections_at_the_root"
        "::create_source_event_stream_returns_a_result_with_the_error",
        f"{_SYNC}::describe_graphql_sync::reports_errors_raised_during_schema_validation",
        f"{_SYNC}::describe_graphql_sync::does_not_return_an_awaitable_for_syntax_errors",
    ),
    "Which operation: where none fits, our executor raises UnknownOperation or NotAllowed, and web words it.": (
        f"{_BASICS}::provides_error_if_no_operation_is_provided",
        f"{_BASICS}::errors_if_no_operation_name_is_provided_with_multiple_operations",
        f"{_BASICS}::errors_if_unknown_operation_name_is_provided",
        f"{_BASICS}::errors_if_empty_string_is_provided_as_operation_name",
        f"{_SUBSCRIBE}_initialization_phase::throws_when_subscribe_is_called_with_a_non_subscription_operation",
        f"{_SYNC}::does_not_return_an_awaitable_for_initial_errors",
    ),
    "Without an event loop, or with awaitables taken for plain values: ours always runs in a loop, and awaits.": (
        f"{_BASICS}::handles_sync_errors_combined_with_async_ones",
        f"{_SYNC}::describe_execute_sync::throws_if_encountering_async_operation_without_check_sync",
        f"{_SYNC}::describe_execute_sync::iterates_sync_and_async_iterables_synchronously_without_check_sync",
        f"{_SYNC}::describe_execute_sync::reports_async_iterables_as_errors_without_check_sync",
        f"{_SYNC}::describe_graphql_sync::throws_if_encountering_async_operation_without_check_sync",
    ),
    "Variables of a type that is none for input: ours validates first, which refuses them.": (
        "execution/test_variables.py::describe_execute_handles_inputs::describe_handles_lists_and_nullability"
        "::does_not_allow_invalid_types_to_be_used_as_values",
        "execution/test_variables.py::describe_execute_handles_inputs::describe_handles_lists_and_nullability"
        "::does_not_allow_unknown_types_to_be_used_as_values",
    ),
}
