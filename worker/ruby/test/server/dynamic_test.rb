# frozen_string_literal: true

require_relative "../server_helper"

# Decisions, batches, and checkpoints.
class DynamicTest < ServerTest
  class Route
    include Tasker::Handler
    include Tasker::Decision
    handler "dynamic_route"

    def call(ctx)
      case ctx.context["amount"]
      when 0 then choose_none
      when 1...1_000 then choose("auto_approve")
      when -1 then choose("nobody")
      else choose(:manager, :finance, result: { amount: ctx.context["amount"] })
      end
    end
  end

  def test_a_decision_chooses_its_children
    after = ->(name) { { name: name, dependencies: ["route"], handler: { callable: "noop" } } }
    apply({ name: "route", type: "decision", handler: { callable: "dynamic_route" } },
          after.call("auto_approve"), after.call("manager"), after.call("finance"))
    work(handlers: [Route])
    chosen = ->(amount) { result(enqueue({ amount: amount })).keys.sort }
    assert_equal %w[finance manager], chosen.call(5_000)
    assert_equal ["auto_approve"], chosen.call(5)
    assert_equal ["route"], chosen.call(0)
    task = enqueue({ amount: -1 })
    ended(task)
    assert_equal "invalid_outcome", step(task, "route")["error"]["code"]
  end

  class Cut
    include Tasker::Handler
    include Tasker::Batchable
    handler "batch_cut"

    def call(ctx) = batches(split(0...ctx.context["rows"], ctx.context["parts"]))
  end

  # Two items at a time.
  class Add
    include Tasker::Handler
    include Tasker::Batchable
    handler "batch_add"

    def call(ctx)
      range = cursor(Range)
      last = last_checkpoint(Integer, Integer)
      from, sum = last ? [last.cursor, last.accumulated] : [range.begin, 0]
      to = [range.end, from + 2].min
      sum += (from...to).sum
      return checkpoint(to, to - range.begin, sum) if to < range.end
      raise Tasker::PermanentError, "the seventh" if ctx.step.end_with?("7") && ctx.context["fails"]

      sum
    end
  end

  class Total
    include Tasker::Handler
    include Tasker::Batchable
    handler "batch_total"

    def call(_ctx)
      all = batch("add")
      pages = all.each_page(size: 3).to_a
      { "total" => pages.sum { |page| page.filter_map(&:result).sum }, "failed" => all.failed,
        "instances" => all.instances, "pages" => pages.size,
        "inline" => all.results(Integer)&.sum,
        "states" => all.each.map(&:state).tally }
    end
  end

  def batch(strategy)
    apply({ name: "cut", type: "batchable", handler: { callable: "batch_cut" } },
          { name: "add", type: "batch_worker", dependencies: ["cut"],
            handler: { callable: "batch_add" }, failure_strategy: strategy },
          { name: "total", dependencies: ["add"], handler: { callable: "batch_total" } })
    work(handlers: [Cut, Add, Total])
  end

  def test_a_batch_with_checkpoints_and_pages
    batch("fail_fast")
    expected = { "total" => 4950, "failed" => 0, "instances" => 8, "pages" => 3, "inline" => 4950,
                 "states" => { "complete" => 8 } }
    assert_equal expected, result(enqueue({ rows: 100, parts: 8 }))["total"]
    empty = result(enqueue({ rows: 0, parts: 8 }))["total"]
    assert_equal [0, 0], empty.values_at("total", "instances")
  end

  def test_a_batch_goes_on_without_the_one_that_failed
    batch("continue_on_failure")
    total = result(enqueue({ rows: 10, parts: 10, fails: true }))["total"]
    assert_equal [45 - 6, 1, { "complete" => 9, "error" => 1 }],
                 total.values_at("total", "failed", "states")
  end

  def test_parents_that_are_too_large_come_by_pages
    parents = %w[a b c]
    apply(*parents.map { |name| { name: name, handler: { callable: "large" } } },
          { name: "join", dependencies: parents, handler: { callable: "join" } })
    work do |worker|
      worker.handler("large") { |ctx| ctx.step * 600_000 }
      worker.handler("join", paged: true) do |ctx|
        pages = ctx.each_parent_page(String).to_a
        [ctx.paged?, ctx.parents, pages.reduce({}, :merge).transform_values(&:size)]
      end
    end
    db.exec("update tasker.settings set max_claim_bytes = 1000000")
    sizes = parents.to_h { |name| [name, 600_000] }
    assert_equal [true, {}, sizes], result(enqueue)["join"]
  ensure
    db.exec("update tasker.settings set max_claim_bytes = default")
  end
end
