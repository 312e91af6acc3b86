# frozen_string_literal: true

module Tasker
  # What a step saved before it yielded: where to go on, the items done since the step's first
  # claim, and what has come of them.
  Checkpoint = ::Struct.new(:cursor, :items_processed, :accumulated, keyword_init: true) do
    include Discreet

    private

    def shown = [items_processed]
  end

  # One instance of a batch worker: its number from 1, its name as in "load_007", how it ended, its
  # cursor, its result, and why it failed.
  Instance = ::Struct.new(:number, :step, :state, :inputs, :result, :error, keyword_init: true) do
    include Discreet

    # @return [Boolean]
    def complete? = state == "complete"

    private

    def shown = [step, state]
  end

  # For the handlers of batches: the batchable step, the batch worker, and the step after it.
  # Checkpoints are for any step.
  module Batchable
    include InStep

    # The most that any setting allows.
    MAX_CURSORS = 1_000_000
    # As PostgreSQL's bigint.
    MAX_ITEMS = (2**63) - 1

    # The range in parts whose lengths differ by one at most. No part is empty.
    # @param range [Range<Integer>] `0...n`, or `1..n`
    # @param parts [Integer] zero is taken as one
    # @return [Array<Hash>] cursors: {"start", "end"}, the end excluded
    def split(range, parts)
      first, length = Batchable.bounds(range)
      parts = [[parts, 1].max, length].min
      Array.new(parts) do |n|
        size, more = length.divmod(parts)
        start = first + (n * size) + [n, more].min
        { "start" => start, "end" => start + size + (n < more ? 1 : 0) }
      end
    end

    # The range in parts of `size` items; the last may have fewer, and no part is empty.
    # @return [Array<Hash>] as those of #split
    def split_by(range, size)
      first, length = Batchable.bounds(range)
      size = [size, 1].max
      Array.new((length + size - 1) / size) do |n|
        start = first + (n * size)
        { "start" => start, "end" => [start + size, first + length].min }
      end
    end

    # Ends a batchable step: one instance of its batch worker for each cursor.
    # @param cursors [Enumerable] any JSON, or ranges of integers
    # @param worker_step [String, nil] the batch worker, where several follow
    # @param result the step's result
    # @return [Outcome] to be returned
    # @raise [PermanentError] they are more than 1,000,000
    def batches(cursors, worker_step: nil, result: nil)
      unless cursors.respond_to?(:first)
        raise ArgumentError, "the cursors are an Enumerable, as an Array, not #{cursors.class}"
      end

      cursors = cursors.first(MAX_CURSORS + 1)
      if cursors.size > MAX_CURSORS
        text = "more than 1,000,000 cursors: no batch may have that many instances " \
               "(max_instances in tasker.settings): let each cover more"
        raise PermanentError.new(text, code: "invalid_outcome")
      end
      cursors = cursors.map { |one| one.is_a?(Range) ? Batchable.cursor_of(one) : one }
      fields = worker_step ? { worker_step: worker_step.to_s } : {}
      Outcome.new("batches", **fields, cursors: cursors, result: result)
    end

    # The cursor of this instance.
    # @param type see Tasker::Convert; Range makes `start...end` of a cursor of #split
    # @raise [InvalidInput] it does not fit, or this step is no instance of a batch
    def cursor(type = nil)
      ctx = tasker_context
      unless ctx.batch_instance?
        raise InvalidInput, "step #{ctx.step} is no instance of a batch: it has no cursor"
      end
      return ctx.inputs(type) unless type == Range

      ends = ctx.inputs({ String => Integer })
      ends.fetch("start")...ends.fetch("end")
    rescue KeyError => error
      raise InvalidInput, "inputs: missing field `#{error.key}`"
    end

    # What this step saved last, on any worker; nil: it has saved nothing and begins.
    # @return [Checkpoint, nil]
    def last_checkpoint(cursor_type = nil, accumulated_type = nil)
      saved = tasker_context.saved or return
      Checkpoint.new(
        cursor: Convert.to(saved["cursor"], cursor_type, "checkpoint.cursor"),
        items_processed: saved["items_processed"],
        accumulated: Convert.to(saved["accumulated"], accumulated_type, "checkpoint.accumulated")
      )
    end

    # Saves where to go on; the step goes back to its queue, and its attempt counter restarts.
    # @param cursor any JSON
    # @param items_processed [Integer] items done since the step's first claim
    # @param accumulated any JSON
    # @return [Outcome] to be returned
    # @raise [InvalidResult] the count is no whole number
    def checkpoint(cursor, items_processed, accumulated = nil)
      unless items_processed.is_a?(Integer) && items_processed.between?(0, MAX_ITEMS)
        # A text may be the step's data.
        told = items_processed.is_a?(Numeric) ? items_processed : items_processed.class
        raise InvalidResult,
              "items_processed of a checkpoint is a whole number from 0, not #{told}"
      end

      Outcome.new("checkpoint", cursor: cursor, items_processed: items_processed,
                                accumulated: accumulated)
    end

    # What the instances of a batch worker, a parent of this step, brought.
    # @raise [InvalidInput] there is no such parent, or it is no batch worker
    # @return [Batch]
    def batch(step) = Batch.new(tasker_context, step.to_s)

    # An empty range has one, too.
    # @api private
    def self.cursor_of(range)
      first, length = bounds(range)
      { "start" => first, "end" => first + length }
    end

    # @api private
    def self.bounds(range)
      unless range.is_a?(Range) && range.begin.is_a?(Integer) && range.end.is_a?(Integer)
        raise ArgumentError, "a batch is split by a range of integers with both ends, as 0...n"
      end

      first = range.begin
      last = range.exclude_end? ? range.end : range.end + 1
      [first, [last - first, 0].max]
    end
  end

  # What the instances of a batch worker brought; see Tasker::Batchable#batch.
  class Batch
    include Discreet

    # @api private
    def initialize(ctx, step)
      @ctx = ctx
      @step = step
      @summary = ctx.parent(step, Hash)
      return if @summary.key?("instances")

      raise InvalidInput, "parents.#{step}: missing field `instances`"
    end

    # @return [Integer] how many there were
    def instances = @summary["instances"]

    # @return [Integer] how many of them are complete
    def complete = @summary["complete"]

    # @return [Integer] how many failed for good
    def failed = @summary["failed"]

    # Results of the complete ones, in order, where the claim carried them; nil: read the pages,
    # which work for any number.
    # @return [Array, nil]
    def results(type = nil)
      results = @summary["results"]
      results && Convert.to(results, [type], "parents.#{@step}.results")
    end

    # Reads all instances in order, page by page.
    # @param type of a result, see Tasker::Convert
    # @param size [Integer] instances of a page, from 1 to 100,000
    # @yieldparam page [Array<Instance>]
    # @return [Enumerator] without a block
    def each_page(type = nil, size: 1_000)
      return enum_for(:each_page, type, size: size) unless block_given?

      after = 0
      while (page = @ctx.ask("batch_page", { step: @step, after: after, size: size }))
        yield(page.map { |one| instance(one, type) })
        after = page.last["number"]
      end
    end

    # @yieldparam instance [Instance]
    # @return [Enumerator] without a block
    def each(type = nil, &block)
      return enum_for(:each, type) unless block

      each_page(type) { |page| page.each(&block) }
    end

    private

    def shown = [@step, instances]

    def instance(one, type)
      made = Instance.new(**one.transform_keys(&:to_sym))
      if made.complete?
        made.result = Convert.to(made.result, type, "#{made.step}.result")
      end
      made
    end
  end
end
