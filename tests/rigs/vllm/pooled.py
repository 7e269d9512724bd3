"""Folders of small embedding and reranking models. Usage: pooled.py OUT TEMPLATE (runs in .venv-vllm).

A BERT that pools the mean, an XLM-RoBERTa that scores pairs, a Qwen3 that pools the last token, as
Qwen3-Embedding does, and one that answers yes or no to the prompt of TEMPLATE, as Qwen3-Reranker does; each
with a vocabulary of letters. The weights are random, of the first seed whose model puts the known answer
first by transformers: they show that an engine computes the same, nothing else.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jinja2
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
CONTEXT = 512
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:? "

QUESTION = "What is the capital of France?"
NEAR = "The capital of France is Paris."
FAR = "Bananas and oranges grow on trees in warm places."
MARGIN = 0.02


def main(out: Path, template: str) -> None:
    words = {
        word: number for number, word in enumerate(("<s>", "<pad>", "</s>", "<unk>", "yes", "no", *LETTERS))
    }
    vocabulary = {"vocab_size": len(words), "pad_token_id": 1}
    bert = BertConfig(**SIZES, **vocabulary, max_position_embeddings=CONTEXT)
    save(lambda: BertModel(bert), out / "bert-embedding", words, pooling="pooling_mode_mean_tokens")
    reranker = XLMRobertaConfig(**SIZES, **vocabulary, max_position_embeddings=CONTEXT + 2, num_labels=1)
    save(lambda: XLMRobertaForSequenceClassification(reranker), out / "roberta-reranker", words)
    qwen = Qwen3Config(
        **SIZES, **vocabulary, num_key_value_heads=1, head_dim=32, max_position_embeddings=CONTEXT
    )
    folder = out / "qwen3-embedding"
    save(lambda: Qwen3Model(qwen), folder, words, pooling="pooling_mode_lasttoken")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["Qwen3ForCausalLM"]}))
    long = {**qwen.to_dict(), "max_position_embeddings": 2 * CONTEXT}  # its prompt is spelled in letters
    save(lambda: Qwen3ForCausalLM(Qwen3Config(**long)), out / "qwen3-reranker", words, template=template)


def save(
    make: Callable[[], torch.nn.Module],
    folder: Path,
    words: dict[str, int],
    *,
    pooling: str | None = None,
    template: str | None = None,
) -> None:
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    for seed in range(200):
        torch.manual_seed(seed)
        model = make().eval()
        for parameter in model.parameters():  # at 0.02, as they begin, layers hardly differ from none
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.2)
        if answers_rightly(model, tokenizer, pooling, template):
            break
    model.to(torch.bfloat16).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>",
        bos_token="<s>", eos_token="</s>", model_max_length=CONTEXT if template is None else 2 * CONTEXT,
    ).save_pretrained(folder)  # fmt: skip
    if pooling is None:
        return
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text(json.dumps({pooling: True}))


@torch.no_grad()
def answers_rightly(
    model: torch.nn.Module, tokenizer: Tokenizer, pooling: str | None, template: str | None
) -> bool:
    if template is not None:
        near, far = (odds_of_yes(model, tokenizer, template, text) for text in (NEAR, FAR))
        return near > far + MARGIN
    if pooling is None:
        near, far = (
            model(torch.tensor([tokenizer.encode(QUESTION, text).ids])).logits.sigmoid().item()
            for text in (NEAR, FAR)
        )
        return near > far + MARGIN
    question, near, far = (
        vector(model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0], pooling)
        for text in (QUESTION, NEAR, FAR)
    )
    cosine = torch.nn.functional.cosine_similarity
    return bool(cosine(question, near, dim=0) > cosine(question, far, dim=0) + MARGIN)


def odds_of_yes(model: torch.nn.Module, tokenizer: Tokenizer, template: str, document: str) -> float:
    messages = [{"role": "query", "content": QUESTION}, {"role": "document", "content": document}]
    prompt = jinja2.Template(template).render(messages=messages)
    logits = model(torch.tensor([tokenizer.encode(prompt).ids])).logits[0, -1]
    both = torch.stack([logits[tokenizer.token_to_id(word)] for word in ("no", "yes")])
    return float(both.softmax(0)[1])


def vector(hidden: torch.Tensor, pooling: str) -> torch.Tensor:
    return hidden[-1] if pooling == "pooling_mode_lasttoken" else hidden.mean(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
