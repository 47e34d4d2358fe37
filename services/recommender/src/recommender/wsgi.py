"""What gunicorn loads."""

from recommender.app import create_app
from recommender.settings import RecommenderSettings

app = create_app(RecommenderSettings.load())
