"""The public names: all that plugins and other people's code may import."""

from .clip.backbones import Backbone as Backbone, load_backbone as load_backbone
from .clip.images import ImageStates as ImageStates, image_states as image_states
from .clip.shapes import BackboneShape as BackboneShape
from .clip.sources import BackboneSource as BackboneSource
from .clip.text import TextTower as TextTower, Tokenizer as Tokenizer
from .errors import (
    BackboneError as BackboneError,
    EvaluationError as EvaluationError,
    FileError as FileError,
    MissingFilesError as MissingFilesError,
    PatchError as PatchError,
    RtdError as RtdError,
    TrainingError as TrainingError,
    TripletError as TripletError,
    UsageError as UsageError,
)
from .evaluation.benchmark import (
    Benchmark as Benchmark,
    BenchmarkSource as BenchmarkSource,
    EvalQuery as EvalQuery,
    Part as Part,
    PartSize as PartSize,
    Ranking as Ranking,
)
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.inputs import EvalOptions as EvalOptions, patched_tower as patched_tower
from .evaluation.pictures import embed_pictures as embed_pictures
from .evaluation.queries import embed_composed as embed_composed
from .evaluation.result import Diagnosis as Diagnosis, Result as Result
from .evaluation.search import search_gallery as search_gallery
from .export.base import (
    read_base as read_base,
    read_folder_base as read_folder_base,
    read_resume_base as read_resume_base,
)
from .export.exporter import (
    ExportBase as ExportBase,
    Exporter as Exporter,
    ExportJob as ExportJob,
    everything as everything,
    held_in_fp16_by_openai as held_in_fp16_by_openai,
)
from .export.run import export_patch as export_patch
from .export.torchscript import write_torchscript as write_torchscript
from .hooks.specs import hookimpl as hookimpl
from .io.atomic import whole_file as whole_file, whole_folder as whole_folder
from .io.checkpoints import read_checkpoint as read_checkpoint
from .io.pickled_modules import read_pickled_module as read_pickled_module
from .jobs.adapt.job import AdaptJob as AdaptJob
from .jobs.adapt.run import run_adapt as run_adapt
from .jobs.check import CheckJob as CheckJob, run_check as run_check
from .jobs.diagnose import diagnose as diagnose
from .jobs.index import IndexJob as IndexJob, run_index as run_index
from .jobs.inputs import PatchJob as PatchJob
from .jobs.patch import PatchResult as PatchResult, run_patch as run_patch
from .jobs.projection.inputs import (
    ProjectionJob as ProjectionJob,
    projection_settings as projection_settings,
)
from .jobs.projection.train import train_projection as train_projection
from .jobs.recipe import recipe_settings as recipe_settings
from .jobs.sweep import run_sweep as run_sweep
from .methods.installed import get_method as get_method
from .methods.inversion import (
    Concept as Concept,
    Described as Described,
    Inverted as Inverted,
    Inverting as Inverting,
    Lesson as Lesson,
    LessonBatch as LessonBatch,
    ProjectionTraining as ProjectionTraining,
    TokenTeaching as TokenTeaching,
)
from .methods.method import Method as Method, MethodOption as MethodOption
from .methods.projections import (
    convert_projection as convert_projection,
    fill_projection as fill_projection,
    load_projection as load_projection,
    tensors_under as tensors_under,
)
from .methods.query import Composition as Composition, Query as Query
from .methods.reference import Reference as Reference
from .patch import TextEncoderPatch as TextEncoderPatch, apply as apply
from .patch.card import CardFacts as CardFacts
from .patch.lora import LoRASettings as LoRASettings
from .search.encoder import CompositionEncoder as CompositionEncoder
from .search.index import Index as Index
from .search.seen import Seen as Seen
from .search.sentences import SentenceEncoder as SentenceEncoder
from .training import (
    RunOptions as RunOptions,
    Trainer as Trainer,
    TrainingSettings as TrainingSettings,
)
from .training.callbacks import Callback as Callback, RunView as RunView
from .training.objective import nt_xent as nt_xent
from .triplets import (
    Triplet as Triplet,
    TripletSet as TripletSet,
    read_captions as read_captions,
    read_triplets as read_triplets,
    write_triplets as write_triplets,
)
from .triplets.rules.run import rule_triplets as rule_triplets
from .triplets.rules.settings import RuleSettings as RuleSettings

__version__: str
__all__: list[str]
