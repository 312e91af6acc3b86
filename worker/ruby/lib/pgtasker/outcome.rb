# frozen_string_literal: true

module Tasker
  # What a handler returns where a plain value is not enough; made by Tasker::Decision and
  # Tasker::Batchable.
  class Outcome
    include Discreet

    # @return [String] "success", "decision", "batches", "checkpoint"
    attr_reader :type
    # @return [Hash] its other fields
    attr_reader :fields

    def initialize(type, **fields)
      @type = type
      @fields = fields
    end

    # @return [Outcome] a success; what a handler returns otherwise is its result
    def self.success(result = nil) = new("success", result: result)

    # @return [Outcome] the same with this result
    def with_result(result)
      return self if type == "checkpoint"

      Outcome.new(type, **fields, result: result)
    end

    # @return [Outcome] the same for the batch worker of this name; needed where several follow
    def for_worker(step)
      type == "batches" ? Outcome.new(type, **fields, worker_step: step.to_s) : self
    end

    # @api private
    # @return [String] JSON, as the worker takes it
    # @raise [InvalidResult]
    def text
      members = fields.map do |name, value|
        "#{JSON.generate(name.name)}:#{ExactJson.generate(value, "the step's #{name}")}"
      end
      "{#{[%("type":"#{type}"), *members].join(',')}}"
    end

    # What a handler has returned, as the worker takes it.
    # @api private
    def self.text(value)
      return value.text if value.is_a?(Outcome)

      %({"type":"success","result":#{ExactJson.generate(value, "the step's result")}})
    end

    private

    def shown = [type]
  end
end
