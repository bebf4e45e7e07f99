"""Requests hold what was set, in the words of the server they go to."""

from plait.core import Message, Prompt, Sampling
from plait.engines.openai.dialects import GENERIC, LLAMACPP, SGLANG, TAGS, VLLM
from plait.engines.openai.wire import (
    chat_body,
    completion_body,
    native_body,
    read_chat,
    read_completion,
    read_native,
)
from plait.protocols import CATALOGUE
from tests.fuzz.grammar import tags_of

ASK = (Message("user", "hi"),)


def test_a_generic_server_gets_only_what_was_set() -> None:
    body = completion_body("m", Prompt("Once"), Sampling(), GENERIC)
    assert body == {"model": "m", "prompt": "Once", "temperature": 0.0, "stream": True,
                    "stream_options": {"include_usage": True}}


def test_every_setting_has_its_field() -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=40, min_p=0.05, max_tokens=8, seed=3,
                        stop=("a", "b", "a"), stop_ids=(7,), logprobs=True, ignore_eos=True)
    body = completion_body("m", Prompt("Once"), sampling, VLLM)
    wanted = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "max_tokens": 8,
              "seed": 3, "stop": ["a", "b"], "stop_token_ids": [7], "logprobs": 0,
              "ignore_eos": True, "include_stop_str_in_output": True,
              "skip_special_tokens": False, "return_token_ids": True}
    assert wanted.items() <= body.items()
    assert completion_body("m", Prompt("Once"), sampling, SGLANG)["no_stop_trim"] is True


def test_a_greedy_draw_needs_no_seed_and_a_seed_fits_31_bits() -> None:
    assert "seed" not in completion_body("m", Prompt("x"), Sampling(seed=1), VLLM)
    hot = Sampling(temperature=1.0, seed=(1 << 40) + 5)
    assert completion_body("m", Prompt("x"), hot, VLLM)["seed"] == 5


def test_extra_fields_go_on_top_but_streaming_stays() -> None:
    sampling = Sampling(extra={"priority": 1, "temperature": 2, "stream": False})
    body = completion_body("m", Prompt("x"), sampling, VLLM)
    assert (body["priority"], body["temperature"], body["stream"]) == (1, 2, True)


def test_a_prompt_goes_as_ids_where_they_are_taken() -> None:
    prompt = Prompt("ab", ids=(1, 2))
    assert completion_body("m", prompt, Sampling(), VLLM)["prompt"] == [1, 2]
    assert completion_body("m", prompt, Sampling(), GENERIC)["prompt"] == "ab"
    assert completion_body("m", Prompt(ids=(1, 2)), Sampling(), GENERIC)["prompt"] == [1, 2]


def test_no_limit_is_said_in_each_servers_way() -> None:
    assert completion_body("m", Prompt("x"), Sampling(), VLLM)["max_tokens"] is None
    assert "max_tokens" not in completion_body("m", Prompt("x"), Sampling(), GENERIC)
    assert "n_predict" not in native_body("m", Prompt("x"), Sampling())


def test_text_after_messages_begins_the_answer() -> None:
    prompt = Prompt("Well,", messages=ASK)
    body = chat_body("m", prompt, Sampling(max_tokens=4), VLLM, "max_tokens")
    assert body["messages"] == [{"role": "user", "content": "hi"},
                                {"role": "assistant", "content": "Well,"}]
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert body["max_tokens"] == 4
    assert "continue_final_message" not in chat_body(
        "m", Prompt(messages=ASK), Sampling(), VLLM, "max_tokens")
    assert "continue_final_message" not in chat_body("m", prompt, Sampling(), GENERIC, "max_tokens")


def test_text_after_an_assistant_message_continues_that() -> None:
    prompt = Prompt(" then", messages=(*ASK, Message("assistant", "Well,")))
    body = chat_body("m", prompt, Sampling(), SGLANG, "max_tokens")
    assert body["messages"] == [{"role": "user", "content": "hi"},
                                {"role": "assistant", "content": "Well, then"}]


def test_llama_cpp_is_told_which_tags_to_show() -> None:
    sampling = Sampling(stop=("</Odd>",), max_tokens=5, logprobs=True)
    body = native_body("m", Prompt("x"), sampling)
    shown = body["preserved_tokens"]
    assert isinstance(shown, list)
    assert {"</Odd>", "<Thread>", "</think>"} <= set(shown)
    assert (body["n_predict"], body["n_probs"], body["cache_prompt"]) == (5, 1, True)
    assert LLAMACPP.native


def test_both_names_of_thoughts_are_read() -> None:
    for name in ("reasoning", "reasoning_content"):
        assert read_chat({"choices": [{"delta": {name: "hm"}}]}).reasoning == "hm"
    assert read_chat({"choices": [{"delta": {"content": None}}]}).text == ""


def test_usage_is_read_with_what_was_cached() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 4,
             "prompt_tokens_details": {"cached_tokens": 8}}
    found = read_completion({"choices": [], "usage": usage}).usage
    assert found is not None
    assert (found.prompt, found.cached, found.generated) == (9, 8, 4)
    bare = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": None}
    assert read_completion({"usage": bare}).usage is not None
    assert read_completion({"choices": [], "usage": None}).usage is None


def test_the_last_object_of_llama_cpp_tells_all() -> None:
    piece = read_native({
        "content": "", "tokens": [], "stop": True, "stop_type": "word", "stopping_word": "END",
        "tokens_predicted": 4, "tokens_evaluated": 9, "timings": {"cache_n": 8}})
    assert (piece.finish, piece.stop, piece.total) == ("stop", "END", 4)
    assert piece.usage is not None
    assert piece.usage.cached == 8
    assert read_native({"stop": True, "stop_type": "limit"}).finish == "length"
    ended = read_native({"stop": True, "stop_type": "eos", "stopping_word": ""})
    assert (ended.finish, ended.stop, ended.stop_reported) == ("stop", None, True)


def test_llamacpp_is_asked_to_show_every_tag_of_the_block_formats() -> None:
    forms = [known.form for known in CATALOGUE.values() if known.form]
    assert {tag for form in forms for tag in tags_of(form)} <= set(TAGS)
    body = native_body("m", Prompt("x"), Sampling(stop=("<own>",)))
    assert body["preserved_tokens"] == [*TAGS, "<own>"]
