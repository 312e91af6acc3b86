# frozen_string_literal: true

module Tasker
  # What the capabilities have in common: they know the step that runs.
  # @api private
  module InStep
    # @return [StepContext]
    def tasker_context
      @tasker_context || Thread.current[:tasker_context] ||
        raise(Error, "no step runs here: this is for handlers while they are called")
    end

    attr_writer :tasker_context
  end
end
