"""Makes a model for tests: well under a megabyte, no knowledge, valid JSON all the same once a grammar guides it.

    python make_model.py FILE

Its weights are noise from a fixed seed, so that the file is the same each time. Two things make its babble fit for use:
the vocabulary has every byte, so that each prompt can be read, and some whole words, so that texts look like texts; and one
column of the embedding is the same for all tokens and left alone by every layer, so that the same column of the output
decides how likely a token is whatever was said before. Words are likely, the quote that ends a text comes now and then.
"""

import sys

import gguf
import numpy

WORDS = (
    "a the of and with under over into toward before after light shadow harbour keeper storm wave tower lamp bell rope boat "
    "girl captain robot fox river mountain train window door letter clock garden winter morning night silver golden old "
    "small quiet broken turns lifts waits opens runs falls looks carries finds loses remembers slowly together alone again"
).split()
CONTROL = {"<s>": -12.0, "</s>": 0.0, "<turn>": -12.0}
WIDTH, LAYERS, HEADS, HIDDEN, CONTEXT = 64, 2, 4, 128, 32768
SHARED = 8.0

TEMPLATE = (
    "{% for message in messages %}<turn>{{ message['role'] }}\n{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
)


def stand_ins():
    """For each byte the printable letter that stands for it in this kind of vocabulary."""
    printable = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def liking(byte):
    """How likely a byte is by itself."""
    if byte == ord('"'):
        return 5.5
    if byte in b",.":
        return 0.5
    if byte in b"{}[]:" or chr(byte).isdigit():
        return -3.0
    return -9.0


def vocabulary():
    letters = stand_ins()
    tokens = [(text, gguf.TokenType.CONTROL, bias) for text, bias in CONTROL.items()]
    tokens += [(letters[byte], gguf.TokenType.NORMAL, liking(byte)) for byte in range(256)]
    tokens += [(letters[0x20] + word, gguf.TokenType.NORMAL, 2.0) for word in WORDS]
    return tokens


def main(path):
    noise = numpy.random.default_rng(20_260)
    tokens = vocabulary()
    file = gguf.GGUFWriter(path, "llama")
    file.add_name("babble")
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_context_length(CONTEXT)
    file.add_embedding_length(WIDTH)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(HIDDEN)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("llama-bpe")
    file.add_token_list([text for text, _, _ in tokens])
    file.add_token_types([kind for _, kind, _ in tokens])
    file.add_token_merges(["q z"])  # The key must be there; this one joins nothing that is a token.
    file.add_bos_token_id(0)
    file.add_eos_token_id(1)
    file.add_add_bos_token(False)
    file.add_chat_template(TEMPLATE)

    def matrix(rows, columns, scale):
        return (noise.standard_normal((rows, columns)) * scale).astype(numpy.float32)

    embedding = matrix(len(tokens), WIDTH, 1.0)
    embedding[:, 0] = SHARED
    file.add_tensor("token_embd.weight", embedding)
    for layer in range(LAYERS):
        def add(name, values, layer=layer):
            file.add_tensor(f"blk.{layer}.{name}.weight", values)

        for norm in ("attn_norm", "ffn_norm"):
            add(norm, numpy.ones(WIDTH, numpy.float32))
        for name, rows, columns in (
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", WIDTH, WIDTH),
            ("attn_v", WIDTH, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", HIDDEN, WIDTH),
            ("ffn_up", HIDDEN, WIDTH),
            ("ffn_down", WIDTH, HIDDEN),
        ):
            values = matrix(rows, columns, columns**-0.5)
            if name in ("attn_output", "ffn_down"):
                values[0, :] = 0.0
            add(name, values)
    file.add_tensor("output_norm.weight", numpy.ones(WIDTH, numpy.float32))
    output = matrix(len(tokens), WIDTH, 1.0)
    # Rows of one length: else a few tokens would win each time.
    output *= 0.9 / numpy.linalg.norm(output, axis=1, keepdims=True)
    # What the last norm leaves of the shared column, about.
    left = SHARED / numpy.sqrt(SHARED**2 / WIDTH + 2.0)
    output[:, 0] = numpy.array([bias for _, _, bias in tokens], numpy.float32) / left
    file.add_tensor("output.weight", output)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


if __name__ == "__main__":
    main(sys.argv[1])
