# frozen_string_literal: true

require_relative "../unit_helper"

# As few threads as the work needs, and as many as it needs.
class ThreadsTest < UnitTest
  def setup
    @done = Queue.new
    @threads = Tasker::Threads.new("test") { |work| work.call }
  end

  def teardown
    @threads.stop(5)
  end

  def wait_for(count) = Array.new(count) { @done.pop }

  def test_short_work_is_done_by_few_threads
    200.times { @threads.post(Array.new(5) { |n| -> { @done << n } }) and wait_for(5) }
    assert_operator @threads.size, :<=, 10
  end

  def test_work_that_waits_gets_a_thread_each
    gate = Queue.new
    @threads.post(Array.new(50) { -> { gate.pop and @done << 1 } })
    eventually("50 threads") { gate.num_waiting == 50 }
    assert_equal 50, @threads.size
    # What comes next does not wait for them.
    @threads.post([-> { @done << 2 }])
    assert_equal 2, @done.pop
    50.times { gate << 1 }
    wait_for(50)
    assert_operator @threads.size, :<=, 51
  end

  def test_a_thread_that_ends_itself_is_replaced
    100.times { @threads.post([-> { Thread.exit }]) }
    @threads.post([-> { @done << 1 }])
    assert_equal 1, @done.pop
    eventually("them to be gone") { @threads.size <= 2 }
  end

  def test_what_waits_is_done_before_the_end
    @threads.post(Array.new(20) { |n| -> { sleep 0.001 and @done << n } })
    @threads.stop(5)
    assert_equal (0...20).to_a, wait_for(20).sort
  end

  # Posts from many threads at once, some of it waiting: nothing is lost.
  def test_nothing_is_lost
    posters = Array.new(8) do |poster|
      Thread.new do
        250.times do |n|
          @threads.post([-> { sleep 0.001 if (n % 50).zero?; @done << [poster, n] }])
        end
      end
    end
    posters.each(&:join)
    assert_equal 2000, wait_for(2000).uniq.size
  end
end
