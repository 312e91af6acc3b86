# frozen_string_literal: true

require "pgtasker"

module Tasker
  # Runs one handler without a database and without the native module, for unit tests.
  #
  #   run = Tasker::Testing.run(ChargeCard, context: { order_id: 7 }, parents: { reserve: {} })
  #   assert_equal({ "receipt" => "r1" }, run.result)
  module Testing
    # What came of it. `outcome` is what the worker would send; `error` is the exception that the
    # handler raised, `events` what it published, `requests` what it asked for over HTTP.
    Run = ::Struct.new(:outcome, :error, :events, :requests, keyword_init: true) do
      # @return the step's result, as its children would read it
      def result = outcome["result"]

      # @return [Boolean]
      def success? = outcome["type"] != "failure"

      # @return [Boolean] whether the worker would try again
      def retryable? = outcome["retryable"] == true

      # @return [String, nil] the failure's code
      def code = outcome["code"]
    end

    # A request as the handler made it.
    Request = ::Struct.new(:method, :url, :headers, :json, :body, keyword_init: true)
    # An event as the handler published it.
    Event = ::Struct.new(:name, :payload, keyword_init: true)
    TASK_ID = "00000000-0000-7000-8000-000000000000"
    # What else a test may say of its step.
    MORE = %i[task_id handler claim_no correlation_id traceparent timeout_ms idempotency_key
              is_batch_instance is_paged].freeze
    private_constant :MORE

    module_function

    # @param target [Class, Proc, #call] the handler
    # @param method [Symbol] of a callable
    # @param context the task's input; goes through JSON like all data here
    # @param checkpoint [Hash, nil] "cursor", "items_processed", "accumulated"
    # @param pages [Hash{String => Array<Hash>}] instances of batch workers, by their names
    # @param http [Proc, nil] answers requests: gets a Request, returns [status, headers, body]; a
    #   body that is no text is sent as JSON
    # @param status [String] what the database says of a transaction of the handler's own
    # @param cancelled [String, nil] why the step is to stop
    # @return [Run]
    def run(target = nil, method: :call, context: {}, config: {}, inputs: nil, parents: {},
            checkpoint: nil, attempt: 1, step: "step", state: nil, pages: {}, http: nil,
            status: "accepted", cancelled: nil, logger: Tasker.logger, **more, &block)
      check(target ||= block, more)
      item = { task_id: TASK_ID, step: step, handler: step, attempt: attempt, claim_no: attempt,
               correlation_id: nil, traceparent: nil, timeout_ms: 300_000,
               idempotency_key: "#{TASK_ID}:#{step}", is_batch_instance: !inputs.nil?,
               is_paged: false, context: context, config: config, inputs: inputs,
               parents: parents, checkpoint: checkpoint, **more }
      item = ExactJson.parse(ExactJson.generate(item, "the test's data"), exact: true)
      port = Port.new(pages, http, status)
      ctx = StepContext.new(item, port: port, id: 1, cancel: StepContext::Cancel.new(cancelled),
                                  state: state, logger: logger)
      judge(Handler::Entry.new(step, target, method, false), ctx, port)
    end

    def check(target, more)
      raise ArgumentError, "there is neither a handler nor a block" unless target

      unknown = more.keys - MORE
      raise ArgumentError, "unknown keyword: #{unknown.first.inspect}" unless unknown.empty?
    end

    def judge(entry, ctx, port)
      error = nil
      outcome = Runner.judged(ctx) do
        Outcome.text(Runner.within(ctx) { Runner.call(entry, ctx) })
      rescue Exception => raised # rubocop:disable Lint/RescueException
        error = raised
        raise
      end
      outcome = port.prepared if ctx.committed?
      Run.new(outcome: ExactJson.parse(outcome, exact: true), error: error, events: port.events,
              requests: port.requests)
    end

    # What the worker would answer.
    # @api private
    class Port
      attr_reader :events, :requests, :prepared

      def initialize(pages, http, status)
        @pages = pages.transform_keys(&:to_s)
        @http = http
        @status = status
        @events = []
        @requests = []
      end

      def ask(_id, what, arguments)
        value = public_send(:"answer_#{what}", ExactJson.parse(arguments, exact: true))
        %({"value":#{ExactJson.generate(value, 'the answer')}})
      rescue StepError => error
        JSON.generate({ error: error.to_outcome.except("type") })
      end

      def answer_publish(asked)
        @events << Event.new(name: asked["name"], payload: asked["payload"])
        nil
      end

      def answer_batch_page(asked)
        rest = @pages.fetch(asked["step"], []).map.with_index(1) do |one, number|
          { "number" => number, "step" => format("%s_%03d", asked["step"], number),
            "state" => "complete", "inputs" => nil, "result" => nil, "error" => nil,
            **one.transform_keys(&:to_s) }
        end
        page = rest.select { |one| one["number"] > asked["after"] }.first(asked["size"])
        page.empty? ? nil : page
      end

      def answer_parent_page(_asked) = nil

      def answer_http(asked)
        request = Request.new(method: asked["method"], url: asked["url"], json: asked["json"],
                              headers: asked["headers"], body: asked["body"]&.unpack1("m"))
        @requests << request
        raise PermanentError, "give the test `http:`, which answers requests" unless @http

        status, headers, body = @http.call(request)
        refuse(request, status) unless status.between?(200, 299) ||
                                       asked["allow_status"].include?(status)
        { "status" => status, "headers" => (headers || {}).map { |n, v| [n.downcase, v] },
          "body" => [text_of(body)].pack("m0") }
      end

      def text_of(body)
        body.nil? || body.is_a?(String) ? body.to_s : ExactJson.generate(body, "the test's body")
      end

      # As the worker judges it.
      def refuse(request, status)
        passes = status >= 500 || [408, 425, 429].include?(status)
        kind = passes ? RetryableError : PermanentError
        text = "#{request.method} #{request.url} answered #{status}"
        raise kind.new(text, code: "http_#{status}")
      end

      # Runs on any connection: there is no engine in a unit test.
      def answer_prepare(asked)
        @prepared = ExactJson.generate(asked["outcome"], "the outcome")
        { "statement" => "select $1::text, $2::text, $3::text, $4::text",
          "parameters" => [@status, "", "", ""] }
      end

      def answer_refused(asked)
        text = "#{asked['status']}: the step is no longer this worker's"
        raise RetryableError.new(text, code: asked["status"])
      end

      def answer_commits(_asked) = nil
      def answer_committed(_asked) = nil
    end
  end
end
