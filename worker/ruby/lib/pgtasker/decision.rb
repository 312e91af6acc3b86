# frozen_string_literal: true

module Tasker
  # Which branches of the graph come into being: for the handler of a step of type `decision`.
  #
  #   class Route
  #     include Tasker::Handler, Tasker::Decision
  #     handler "route"
  #     def call(ctx) = ctx.context["amount"] < 1_000 ? choose("auto_approve") : choose("manager")
  #   end
  module Decision
    include InStep

    # Ends the step: these of its direct children come into being, the others never exist.
    # @param steps [Array<String, Symbol>] a name that is no direct child fails the step for good
    # @param result the step's result
    # @return [Outcome] to be returned
    def choose(*steps, result: nil)
      Outcome.new("decision", create_steps: steps.flatten.map(&:to_s), result: result)
    end

    # Ends the step: no child of it comes into being.
    # @return [Outcome] to be returned
    def choose_none(result: nil) = choose(result: result)
  end
end
