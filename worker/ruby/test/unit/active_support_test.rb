# frozen_string_literal: true

require_relative "../unit_helper"
require "open3"

# ActiveSupport changes how Ruby writes JSON; the results of steps stay the same.
class ActiveSupportTest < UnitTest
  PROGRAM = <<~'RUBY'
    require "active_support/all"
    require "pgtasker"
    Time.zone = "Berlin"
    puts Tasker::ExactJson.generate(
      { d: BigDecimal("1.10"), h: { a: 1 }.with_indifferent_access, s: "<b>".html_safe,
        t: Time.zone.at(0.5r), z: 0.1, o: Struct.new(:x).new(1.5) }, "it"
    )
    puts (Tasker::ExactJson.generate([1.hour], "it") rescue $!.message[0, 64])
  RUBY

  def test_results_with_active_support
    lib = File.expand_path("../../lib", __dir__)
    output, = Open3.capture2e(RbConfig.ruby, "-I#{lib}", "-e", PROGRAM)
    assert_equal <<~TEXT, output
      {"d":1.1,"h":{"a":1},"s":"<b>","t":"1970-01-01T01:00:00.500000+01:00","z":0.1,"o":{"x":1.5}}
      it cannot be stored: ActiveSupport::Duration has no form in JSON
    TEXT
  end
end
